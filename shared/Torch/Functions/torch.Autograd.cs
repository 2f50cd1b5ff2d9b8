using System.Runtime.InteropServices;
using Qbb.Torch.Interop;

namespace Qbb.Torch;

public static unsafe partial class torch
{
    /// <summary>Gradients as functions of one's own, PyTorch's torch.autograd.</summary>
    public static class autograd
    {
        /// <summary>
        /// Calculates the gradients of one output with respect to inputs; null where an input does not matter. Leaves <c>.grad</c> alone.
        /// </summary>
        public static Tensor?[] grad(Tensor output, Tensor[] inputs, Tensor? gradient = null, bool retain_graph = false, bool create_graph = false)
        {
            nint* wrt = stackalloc nint[inputs.Length];
            nint* found = stackalloc nint[inputs.Length];
            for (var k = 0; k < inputs.Length; k++)
                wrt[k] = inputs[k].Pointer;
            var failed = NativeMethods.qbb_grad(output.Pointer, gradient?.Pointer ?? 0, wrt, inputs.Length, found, retain_graph || create_graph ? 1 : 0, create_graph ? 1 : 0);
            NativeMethods.Check(failed, "torch.autograd.grad");
            GC.KeepAlive(inputs);
            GC.KeepAlive(gradient);
            var result = new Tensor?[inputs.Length];
            for (var k = 0; k < result.Length; k++)
                result[k] = found[k] == 0 ? null : new Tensor(found[k]);
            return result;
        }

        /// <summary>
        /// Joins <paramref name="outputs"/>, calculated from <paramref name="inputs"/> without gradients, to the graph.
        /// </summary>
        /// <param name="inputs">The tensors that gradients are wanted for.</param>
        /// <param name="outputs">New tensors; from now on they require gradients if any input does.</param>
        /// <param name="backward">From the gradients of the outputs (null: zero) to those of the inputs (null: none), in order.
        /// May run on a thread of libtorch's. Tensors it captures must not belong to a dispose scope that ends before backward.</param>
        /// <param name="saved">Tensors that backward uses; released with the graph.</param>
        public static void record(Tensor[] inputs, Tensor[] outputs, Func<Tensor?[], Tensor?[]> backward, params Tensor[] saved)
        {
            nint* a = stackalloc nint[inputs.Length];
            nint* b = stackalloc nint[outputs.Length];
            for (var k = 0; k < inputs.Length; k++)
                a[k] = inputs[k].Pointer;
            for (var k = 0; k < outputs.Length; k++)
                b[k] = outputs[k].Pointer;
            var state = GCHandle.ToIntPtr(GCHandle.Alloc(new Step(backward, saved)));
            NativeMethods.Check(NativeMethods.qbb_record(a, inputs.Length, b, outputs.Length, state, &Backward, &Release), "torch.autograd.record");
            GC.KeepAlive(inputs);
            GC.KeepAlive(outputs);
        }

        private sealed record Step(Func<Tensor?[], Tensor?[]> Backward, Tensor[] Saved);

        [UnmanagedCallersOnly]
        private static int Backward(nint state, nint* gradientsIn, int inCount, nint* gradientsOut, int outCount, nint* error)
        {
            try
            {
                using var scope = NewDisposeScope();
                var given = new Tensor?[inCount];
                for (var k = 0; k < inCount; k++)
                    given[k] = gradientsIn[k] == 0 ? null : new Tensor(gradientsIn[k]);
                var result = ((Step)GCHandle.FromIntPtr(state).Target!).Backward(given);
                if (result.Length != outCount)
                    throw new InvalidOperationException($"backward gave {result.Length} gradients for {outCount} inputs");
                for (var k = 0; k < outCount; k++)
                    gradientsOut[k] = result[k]?.Alias() ?? 0;
                return 0;
            }
            catch (Exception e)
            {
                *error = Marshal.StringToCoTaskMemUTF8($"{e.GetType().Name}: {e.Message}");
                return 1;
            }
        }

        [UnmanagedCallersOnly]
        private static void Release(nint state)
        {
            var handle = GCHandle.FromIntPtr(state);
            foreach (var tensor in ((Step)handle.Target!).Saved)
                tensor.Dispose();
            handle.Free();
        }
    }
}
