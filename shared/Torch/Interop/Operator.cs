using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Qbb.Torch.Interop;

/// <summary>One operator of ATen's dispatcher, found by name at its first call. Calls are thread-safe.</summary>
/// <param name="name">Qualified name: <c>aten::add</c>.</param>
/// <param name="overload">Overload name: <c>Tensor</c>; empty for the operator's only or first form.</param>
public sealed unsafe class Operator(string name, string overload = "")
{
    private const int MaxResults = 8;
    private nint _handle;

    public string Name => overload.Length == 0 ? name : $"{name}.{overload}";

    /// <summary>Calls the operator and gives its one tensor.</summary>
    /// <exception cref="TorchException">libtorch refused; carries the operator, the argument shapes and libtorch's message.</exception>
    public Tensor Call(params ReadOnlySpan<Argument> arguments)
    {
        BoxedValue* results = stackalloc BoxedValue[MaxResults];
        Invoke(arguments, results);
        return Wrap(results[0]);
    }

    /// <summary>Calls an operator that gives two tensors.</summary>
    public (Tensor First, Tensor Second) Call2(params ReadOnlySpan<Argument> arguments)
    {
        BoxedValue* results = stackalloc BoxedValue[MaxResults];
        Invoke(arguments, results);
        return (Wrap(results[0]), Wrap(results[1]));
    }

    /// <summary>Calls an operator that gives three tensors.</summary>
    public (Tensor First, Tensor Second, Tensor Third) Call3(params ReadOnlySpan<Argument> arguments)
    {
        BoxedValue* results = stackalloc BoxedValue[MaxResults];
        Invoke(arguments, results);
        return (Wrap(results[0]), Wrap(results[1]), Wrap(results[2]));
    }

    /// <summary>Calls an operator that gives a list of tensors.</summary>
    public Tensor[] CallList(params ReadOnlySpan<Argument> arguments)
    {
        BoxedValue* results = stackalloc BoxedValue[MaxResults];
        Invoke(arguments, results);
        var pointers = (nint*)results[0].Pointer;
        var tensors = new Tensor[results[0].Length];
        for (var k = 0; k < tensors.Length; k++)
            tensors[k] = new Tensor(pointers[k]);
        NativeMethods.qbb_list_free(results[0].Pointer);
        return tensors;
    }

    /// <summary>Calls an operator whose result is a number or a truth value.</summary>
    public Scalar CallScalar(params ReadOnlySpan<Argument> arguments)
    {
        BoxedValue* results = stackalloc BoxedValue[MaxResults];
        Invoke(arguments, results);
        return results[0].Tag == ValueTag.Double ? results[0].Real : results[0].Integer;
    }

    /// <summary>Calls an operator for its effect; a result, if any (in-place operators return their first argument), is released.</summary>
    public void CallVoid(params ReadOnlySpan<Argument> arguments)
    {
        BoxedValue* results = stackalloc BoxedValue[MaxResults];
        var count = Invoke(arguments, results);
        for (var k = 0; k < count; k++)
            if (results[k].Tag == ValueTag.Tensor && results[k].Pointer != 0)
                NativeMethods.qbb_tensor_free(results[k].Pointer);
    }

    private Tensor Wrap(BoxedValue value) =>
        value.Tag == ValueTag.Tensor && value.Pointer != 0 ? new Tensor(value.Pointer) : throw new TorchException(Name, [], $"gave {value.Tag}, not a tensor");

    private int Invoke(ReadOnlySpan<Argument> arguments, BoxedValue* results)
    {
        if (_handle == 0)
        {
            NativeMethods.Check(NativeMethods.qbb_find(name, overload, out var found), Name);
            _handle = found;
        }
        BoxedValue* boxed = stackalloc BoxedValue[arguments.Length];
        var lists = 0;
        foreach (ref readonly var a in arguments)
            if (a.Reference is Array array)
                lists += array.Length;
        Span<long> buffer = lists <= 128 ? stackalloc long[128] : GC.AllocateUninitializedArray<long>(lists, pinned: true);
        fixed (long* data = buffer)
        {
            var used = 0;
            try
            {
                for (var k = 0; k < arguments.Length; k++)
                    boxed[k] = Box(arguments[k], data, ref used);
                if (NativeMethods.qbb_call(_handle, boxed, arguments.Length, results, MaxResults, out var count) != 0)
                    throw new TorchException(Name, Shapes(arguments), NativeMethods.LastError());
                return count;
            }
            finally
            {
                // The managed tensors must outlive the native call that works on their pointers.
                foreach (ref readonly var a in arguments)
                    GC.KeepAlive(a.Reference);
                for (var k = 0; k < arguments.Length; k++)
                    if (arguments[k].Tag == ValueTag.String)
                        Marshal.FreeCoTaskMem(boxed[k].Pointer);
            }
        }
    }

    private static BoxedValue Box(in Argument argument, long* data, ref int used)
    {
        var value = new BoxedValue { Tag = argument.Tag, Integer = argument.Bits, Length = argument.Index };
        switch (argument.Tag)
        {
            case ValueTag.Tensor:
                value.Pointer = Unsafe.As<Tensor>(argument.Reference!).Pointer;
                break;
            case ValueTag.Generator:
                value.Pointer = Unsafe.As<Generator>(argument.Reference!).Pointer;
                break;
            case ValueTag.String:
                var text = Unsafe.As<string>(argument.Reference!);
                value.Pointer = Marshal.StringToCoTaskMemUTF8(text);
                value.Length = Encoding.UTF8.GetByteCount(text);
                break;
            case ValueTag.IntList:
                var integers = Unsafe.As<long[]>(argument.Reference!);
                integers.CopyTo(new Span<long>(data + used, integers.Length));
                (value.Pointer, value.Length) = ((nint)(data + used), integers.Length);
                used += integers.Length;
                break;
            case ValueTag.DoubleList:
                var reals = Unsafe.As<double[]>(argument.Reference!);
                reals.CopyTo(new Span<double>(data + used, reals.Length));
                (value.Pointer, value.Length) = ((nint)(data + used), reals.Length);
                used += reals.Length;
                break;
            case ValueTag.TensorList:
                var tensors = Unsafe.As<Tensor?[]>(argument.Reference!);
                for (var k = 0; k < tensors.Length; k++)
                    data[used + k] = tensors[k]?.Pointer ?? 0;
                (value.Pointer, value.Length) = ((nint)(data + used), tensors.Length);
                used += tensors.Length;
                break;
        }
        return value;
    }

    private static string[] Shapes(ReadOnlySpan<Argument> arguments)
    {
        var shapes = new List<string>();
        foreach (ref readonly var a in arguments)
        {
            if (a.Reference is Tensor t)
                shapes.Add(t.Describe());
            else if (a.Reference is Tensor?[] list)
                shapes.Add($"[{string.Join(", ", list.Select(x => x?.Describe() ?? "none"))}]");
        }
        return [.. shapes];
    }
}
