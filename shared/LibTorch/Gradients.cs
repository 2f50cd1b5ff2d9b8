using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Qbb.LibTorch;

/// <summary>
/// Gradients of one's own. TorchSharp's SingleTensorFunction keeps, for every output, an empty_like of the same size (memory on a GPU), and
/// an exception in its backward ends the process. This is the same node of libLibTorchSharp.so without either: nothing is kept but what is
/// saved, and an exception waits until backward has returned.
/// </summary>
public static unsafe class Gradients
{
    private static readonly delegate* unmanaged<nint, nint, Node> s_newNode = (delegate* unmanaged<nint, nint, Node>)Natives.BindingSymbol("THSAutograd_CSharpNode_ctor");
    private static readonly delegate* unmanaged<Node, Handles, byte, void> s_setEdges = (delegate* unmanaged<Node, Handles, byte, void>)Natives.BindingSymbol("THSAutograd_CSharpNode_setNextEdges");
    private static readonly delegate* unmanaged<Node, void> s_clear = (delegate* unmanaged<Node, void>)Natives.BindingSymbol("THSAutograd_CSharpNode_clearInputMetadata");
    private static readonly delegate* unmanaged<Node, void> s_dropShared = (delegate* unmanaged<Node, void>)Natives.BindingSymbol("THSAutograd_CSharpNode_disposeSharedPtr");
    private static readonly delegate* unmanaged<Node, void> s_dropWeak = (delegate* unmanaged<Node, void>)Natives.BindingSymbol("THSAutograd_CSharpNode_disposeWeakPtr");
    private static readonly delegate* unmanaged<Handles, Handles, Handles, Handles, Node, delegate* unmanaged<nuint, nint*>, void> s_wrap =
        (delegate* unmanaged<Handles, Handles, Handles, Handles, Node, delegate* unmanaged<nuint, nint*>, void>)Natives.BindingSymbol("THSAutograd_Function_wrapOutputs");

    /// <summary>Steps whose node still exists: native code holds pointers into them.</summary>
    private static readonly ConcurrentDictionary<Step, byte> s_alive = [];
    [ThreadStatic] private static Failure? s_failure;
    [ThreadStatic] private static Returned? s_returned;

    /// <summary>Joins <paramref name="outputs"/>, calculated from <paramref name="inputs"/> without gradients, to the graph.</summary>
    /// <param name="inputs">The tensors that gradients are wanted for.</param>
    /// <param name="outputs">New tensors; from now on they require gradients if any input does.</param>
    /// <param name="backward">From the gradients of the outputs (null: zero) to those of the inputs (null: none), in order.
    /// May run on a thread of libtorch's. Tensors it captures must not belong to a dispose scope that ends before backward.</param>
    /// <param name="saved">Tensors that backward uses, outside every scope (<see cref="Save"/>); released with the graph.</param>
    public static void Record(Tensor[] inputs, Tensor[] outputs, Func<Tensor?[], Tensor?[]> backward, params Tensor[] saved)
    {
        ThrowHeld("record");
        if (!torch.is_grad_enabled() || !inputs.Any(input => input.requires_grad))
        {
            foreach (var tensor in saved)
                tensor.Dispose();
            return;
        }
        var step = new Step(backward, saved, [.. inputs.Select(input => input.requires_grad)], s_failure ??= new());
        s_alive[step] = 0;
        var node = s_newNode(step.ApplyPointer, step.ReleasePointer);
        nint[] from = [.. inputs.Select(input => input.Handle)], to = [.. outputs.Select(output => output.Handle)];
        fixed (nint* ins = from, outs = to)
        {
            var (vars, results) = (new Handles(ins, from.Length), new Handles(outs, to.Length));
            s_setEdges(node, vars, 1);
            s_clear(node);
            // Sets the outputs' history in place; what it gives back are second pointers to them.
            s_wrap(vars, default, default, results, node, &Allocate);
        }
        ReleaseReturned();
        s_dropShared(node);
        s_dropWeak(node);
        torch.CheckForErrors();
        GC.KeepAlive(inputs);
        GC.KeepAlive(outputs);
    }

    /// <summary>A second handle on the same tensor that belongs to no dispose scope and no graph: what a backward function keeps.</summary>
    public static Tensor Save(Tensor x) => x.detach().DetachFromDisposeScope();

    /// <summary>Adds the gradients of a tensor to those of the leaves it was calculated from.</summary>
    /// <exception cref="TorchException">A function given to <see cref="Record"/> on this thread threw.</exception>
    public static void Backward(Tensor x, Tensor? gradient = null, bool retain_graph = false)
    {
        ThrowHeld("backward");
        x.backward(gradient is null ? null : [gradient], retain_graph);
        ReleaseReturned();
        ThrowHeld("backward");
    }

    /// <summary>The gradients of one output with respect to inputs; null where an input does not matter. Leaves <c>.grad</c> alone.</summary>
    /// <exception cref="TorchException">A function given to <see cref="Record"/> on this thread threw.</exception>
    public static Tensor?[] Of(Tensor output, Tensor[] inputs, Tensor? gradient = null, bool retain_graph = false, bool create_graph = false)
    {
        ThrowHeld("grad");
        var found = torch.autograd.grad([output], inputs, gradient is null ? null : [gradient], retain_graph || create_graph, create_graph, allow_unused: true);
        ThrowHeld("grad");
        return [.. found.Select(tensor => tensor.IsInvalid ? null : tensor)];
    }

    /// <summary>
    /// Activation checkpointing: runs <paramref name="function"/> without keeping what its gradients need, and runs it once more when
    /// they are requested. Memory for time; value and gradients stay the same.
    /// </summary>
    /// <param name="function">From x to the result, a pure function: it runs twice. What it captures must live until backward.</param>
    /// <param name="x">Its argument; kept until backward.</param>
    /// <param name="parameters">The leaves that the function uses and that gradients are wanted for.</param>
    public static Tensor Checkpoint(Func<Tensor, Tensor> function, Tensor x, params Tensor[] parameters)
    {
        if (!torch.is_grad_enabled() || !(x.requires_grad || parameters.Any(parameter => parameter.requires_grad)))
            return function(x);
        var wantsX = x.requires_grad;
        var kept = Save(x);
        Tensor y;
        using (torch.no_grad())
            y = function(x);
        Record([x, .. parameters], [y], gradients =>
        {
            using var on = torch.enable_grad();
            var again = kept.detach().requires_grad_(wantsX);
            Tensor[] inputs = [again, .. parameters];
            var wanted = Enumerable.Range(0, inputs.Length).Where(k => inputs[k].requires_grad).ToArray();
            var found = Of(function(again), [.. wanted.Select(k => inputs[k])], gradients[0]);
            var result = new Tensor?[inputs.Length];
            for (var k = 0; k < wanted.Length; k++)
                result[wanted[k]] = found[k];
            return result;
        }, kept);
        return y;
    }

    private static void ThrowHeld(string operation)
    {
        if (s_failure is { Held: { } held } failure)
        {
            failure.Held = null;
            throw held is TorchException ? held : new TorchException(operation, "", $"{held.GetType().Name}: {held.Message}", held);
        }
    }

    // libtorch copies what a step returned after the step has returned: its handles are released by the thread's next step.
    private static void ReleaseReturned()
    {
        if (s_returned is not { } returned)
            return;
        for (var k = 0; k < returned.Count; k++)
            if (returned.Handles[k] != 0)
                Dispatcher.Delete(returned.Handles[k]);
        returned.Count = 0;
    }

    private static nint* Room(int count)
    {
        var returned = s_returned ??= new();
        if (returned.Capacity < count)
        {
            returned.Handles = (nint*)NativeMemory.Realloc(returned.Handles, (nuint)(count * sizeof(nint)));
            returned.Capacity = count;
        }
        returned.Count = count;
        new Span<nint>(returned.Handles, count).Clear();
        return returned.Handles;
    }

    [UnmanagedCallersOnly]
    private static nint* Allocate(nuint count)
    {
        ReleaseReturned();
        return Room((int)count);
    }

    /// <summary>std::shared_ptr* and std::weak_ptr* of the node.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Node
    {
        public readonly nint Shared, Weak;
    }

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Handles(nint* tensors, long count)
    {
        public readonly nint* Tensors = tensors;
        public readonly long Count = count;
    }

    private sealed class Failure
    {
        public volatile Exception? Held;
    }

    private sealed class Returned
    {
        public nint* Handles;
        public int Capacity, Count;

        ~Returned() => NativeMemory.Free(Handles);
    }

    private sealed class Step
    {
        private readonly Func<Tensor?[], Tensor?[]> _backward;
        private readonly Tensor[] _saved;
        private readonly bool[] _wanted;
        private readonly Failure _failure;
        private readonly ApplyFunction _apply;
        private readonly ReleaseFunction _release;

        public Step(Func<Tensor?[], Tensor?[]> backward, Tensor[] saved, bool[] wanted, Failure failure)
        {
            (_backward, _saved, _wanted, _failure) = (backward, saved, wanted, failure);
            (_apply, _release) = (Apply, Release);
            (ApplyPointer, ReleasePointer) = (Marshal.GetFunctionPointerForDelegate(_apply), Marshal.GetFunctionPointerForDelegate(_release));
        }

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate Handles ApplyFunction(nint* gradients, int count);

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void ReleaseFunction();

        public nint ApplyPointer { get; }
        public nint ReleasePointer { get; }

        private Handles Apply(nint* gradients, int count)
        {
            ReleaseReturned();
            nint* handles = null;
            try
            {
                using var scope = torch.NewDisposeScope();
                var given = new Tensor?[count];
                for (var k = 0; k < count; k++)
                    given[k] = gradients[k] == 0 ? null : Tensor.UnsafeCreateTensor(gradients[k]);
                // After a failure nothing is calculated any more, and no gradient can be relied on.
                if (_failure.Held is null)
                {
                    var result = _backward(given);
                    if (result.Length != _wanted.Length)
                        throw new InvalidOperationException($"backward gave {result.Length} gradients for {_wanted.Length} inputs");
                    ReleaseReturned();
                    handles = Room(_wanted.Length);
                    for (var k = 0; k < result.Length; k++)
                        if (_wanted[k] && result[k] is { } gradient)
                            handles[k] = Dispatcher.Alias(gradient);
                    return new(handles, _wanted.Length);
                }
            }
            catch (Exception e)
            {
                _failure.Held ??= e;
            }
            ReleaseReturned();
            return new(Room(_wanted.Length), _wanted.Length);
        }

        private void Release()
        {
            foreach (var tensor in _saved)
                tensor.Dispose();
            s_alive.TryRemove(this, out _);
        }
    }
}
