using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <content>One operation on many tensors: on a GPU a few launches for all of them, on the CPU a loop within libtorch.</content>
public static partial class torch
{
    private static readonly Operator _foreach_add_List = new("aten::_foreach_add", "List");
    private static readonly Operator _foreach_mul_List = new("aten::_foreach_mul", "List");
    private static readonly Operator _foreach_mul_inplace_Scalar = new("aten::_foreach_mul_", "Scalar");
    private static readonly Operator _foreach_norm_Scalar = new("aten::_foreach_norm", "Scalar");
    private static readonly Operator _foreach_copy_inplace = new("aten::_foreach_copy_");

    /// <summary>a_k + b_k.</summary>
    public static Tensor[] _foreach_add(Tensor[] a, Tensor[] b) => _foreach_add_List.CallList(a, b);

    /// <summary>a_k ⊙ b_k. Of equal shapes: with others a GPU takes them one by one.</summary>
    public static Tensor[] _foreach_mul(Tensor[] a, Tensor[] b) => _foreach_mul_List.CallList(a, b);

    /// <summary>a_k ← a_k · factor.</summary>
    public static void _foreach_mul_(Tensor[] a, Scalar factor) => _foreach_mul_inplace_Scalar.CallVoid(a, factor);

    /// <summary>The Euclidean norm of each.</summary>
    public static Tensor[] _foreach_norm(Tensor[] a) => _foreach_norm_Scalar.CallList(a);

    /// <summary>a_k ← b_k.</summary>
    public static void _foreach_copy_(Tensor[] a, Tensor[] b)
    {
        // libtorch 1.13 has no such operator, and one copy at a time is as good on the CPU.
        if (a.Length > 0 && a[0].device.Type == DeviceType.CUDA)
        {
            _foreach_copy_inplace.CallVoid(a, b);
            return;
        }
        for (var k = 0; k < a.Length; k++)
            a[k].copy_(b[k]);
    }
}
