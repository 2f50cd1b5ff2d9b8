using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Qbb.LibTorch;

/// <summary>
/// Operators that TorchSharp has no method for, by libtorch's stable C interface, gradients included. All arguments of the schema must be
/// given, and numbers of type Scalar cannot be. libtorch writes the text of an error on standard error.
/// </summary>
public static unsafe class Dispatcher
{
    private static readonly delegate* unmanaged<byte*, byte*, ulong*, ulong, int> s_call = (delegate* unmanaged<byte*, byte*, ulong*, ulong, int>)Natives.CpuSymbol("torch_call_dispatcher");
    private static readonly delegate* unmanaged<nint, nint*, int> s_alias = (delegate* unmanaged<nint, nint*, int>)Natives.CpuSymbol("aoti_torch_new_tensor_handle");
    private static readonly delegate* unmanaged<nint, int> s_delete = (delegate* unmanaged<nint, int>)Natives.CpuSymbol("aoti_torch_delete_tensor_object");
    private static readonly delegate* unmanaged<nuint, nint*, int> s_newList = (delegate* unmanaged<nuint, nint*, int>)Natives.CpuSymbol("torch_new_list_reserve_size");
    private static readonly delegate* unmanaged<nint, ulong, int> s_push = (delegate* unmanaged<nint, ulong, int>)Natives.CpuSymbol("torch_list_push_back");
    private static readonly delegate* unmanaged<nint, nuint*, int> s_count = (delegate* unmanaged<nint, nuint*, int>)Natives.CpuSymbol("torch_list_size");
    private static readonly delegate* unmanaged<nint, nuint, ulong*, int> s_item = (delegate* unmanaged<nint, nuint, ulong*, int>)Natives.CpuSymbol("torch_list_get_item");
    private static readonly delegate* unmanaged<nint, int> s_deleteList = (delegate* unmanaged<nint, int>)Natives.CpuSymbol("torch_delete_list");
    /// <summary>The interface that the calls below are written for: 2.10.</summary>
    private const ulong Abi = 2UL << 56 | 10UL << 48;

    /// <summary>One argument. <see cref="Optional(Tensor)"/> where the schema has a question mark.</summary>
    public readonly struct Argument
    {
        internal readonly object? Reference;
        internal readonly ulong Bits;
        internal readonly bool IsOptional;

        private Argument(object? reference, ulong bits, bool optional) => (Reference, Bits, IsOptional) = (reference, bits, optional);

        public static implicit operator Argument(Tensor value) => new(value, 0, false);
        public static implicit operator Argument(Tensor[] value) => new(value, 0, false);
        public static implicit operator Argument(long value) => new(null, (ulong)value, false);
        public static implicit operator Argument(double value) => new(null, BitConverter.DoubleToUInt64Bits(value), false);
        public static implicit operator Argument(bool value) => new(null, value ? 1UL : 0, false);
        public static implicit operator Argument(ScalarType value) => new(null, (ulong)value, false);
        public static Argument None => new(null, 0, false);
        public static Argument Optional(Tensor? value) => value is null ? None : new(value, 0, true);
        public static Argument Optional(double? value) => value is { } number ? new(null, BitConverter.DoubleToUInt64Bits(number), true) : None;
    }

    /// <summary>Calls an operator that gives one tensor.</summary>
    public static Tensor Call(string name, string overload, params ReadOnlySpan<Argument> arguments) => Tensor.UnsafeCreateTensor((nint)Invoke(name, overload, arguments));

    /// <summary>Calls an operator for its effect on an argument; the argument that it gives back, if any, is released.</summary>
    /// <param name="name">Qualified: <c>aten::mm</c>.</param>
    /// <param name="overload">Its form: <c>out</c>.</param>
    /// <param name="returns">Whether it gives its target back.</param>
    /// <param name="arguments">In the schema's order.</param>
    public static void CallVoid(string name, string overload, bool returns, params ReadOnlySpan<Argument> arguments)
    {
        var result = Invoke(name, overload, arguments);
        if (returns)
            _ = s_delete((nint)result);
    }

    /// <summary>Calls an operator that gives a list of tensors.</summary>
    public static Tensor[] CallList(string name, string overload, params ReadOnlySpan<Argument> arguments)
    {
        var list = (nint)Invoke(name, overload, arguments);
        nuint count;
        Check(s_count(list, &count), name);
        var tensors = new Tensor[count];
        for (nuint k = 0; k < count; k++)
        {
            ulong item;
            Check(s_item(list, k, &item), name);
            tensors[k] = Tensor.UnsafeCreateTensor((nint)item);
        }
        Check(s_deleteList(list), name);
        return tensors;
    }

    /// <summary>A second pointer to the same tensor, which whoever asks for it owns.</summary>
    internal static nint Alias(Tensor tensor)
    {
        nint copy;
        Check(s_alias(tensor.Handle, &copy), "alias");
        GC.KeepAlive(tensor);
        return copy;
    }

    internal static void Delete(nint tensor) => _ = s_delete(tensor);

    [SkipLocalsInit]
    private static ulong Invoke(string name, string overload, ReadOnlySpan<Argument> arguments)
    {
        // Every entry is 64 bits wide; results take the place of the arguments, which the callee releases.
        ulong* stack = stackalloc ulong[Math.Max(arguments.Length, 1)];
        byte* names = stackalloc byte[name.Length + overload.Length + 2];
        var second = names + System.Text.Encoding.ASCII.GetBytes(name, new Span<byte>(names, name.Length)) + 1;
        names[name.Length] = 0;
        second[System.Text.Encoding.ASCII.GetBytes(overload, new Span<byte>(second, overload.Length))] = 0;
        for (var k = 0; k < arguments.Length; k++)
        {
            var bits = arguments[k].Reference switch
            {
                Tensor tensor => (ulong)Alias(tensor),
                Tensor[] list => (ulong)List(list),
                _ => arguments[k].Bits,
            };
            if (arguments[k].IsOptional)
            {
                var box = (ulong*)NativeMemory.Alloc(sizeof(ulong));
                *box = bits;
                bits = (ulong)box;
            }
            stack[k] = bits;
        }
        if (s_call(names, second, stack, Abi) != 0)
            throw new TorchException(overload.Length == 0 ? name : $"{name}.{overload}", Describe(arguments), "libtorch refused; see standard error for the reason");
        return stack[0];
    }

    private static nint List(Tensor[] tensors)
    {
        nint list;
        Check(s_newList((nuint)tensors.Length, &list), "list");
        foreach (var tensor in tensors)
            Check(s_push(list, (ulong)Alias(tensor)), "list");
        return list;
    }

    private static string Describe(ReadOnlySpan<Argument> arguments)
    {
        var parts = new List<string>();
        foreach (ref readonly var argument in arguments)
            if (argument.Reference is Tensor tensor)
                parts.Add(tensor.Describe());
            else if (argument.Reference is Tensor[] list)
                parts.Add($"[{string.Join(", ", list.Select(each => each.Describe()))}]");
        return string.Join(", ", parts);
    }

    private static void Check(int code, string operation)
    {
        if (code != 0)
            throw new TorchException(operation, "", $"libtorch's error {code}; see standard error for the reason");
    }
}
