using Qbb.Torch.Interop;

namespace Qbb.Torch;

public static partial class torch
{
    /// <summary>Linear algebra on batches of matrices, PyTorch's torch.linalg.</summary>
    public static class linalg
    {
        private static readonly Operator _linalg_cholesky = new("aten::linalg_cholesky");
        private static readonly Operator _linalg_cholesky_ex = new("aten::linalg_cholesky_ex");
        private static readonly Operator _cholesky_inverse = new("aten::cholesky_inverse");
        private static readonly Operator _cholesky_solve = new("aten::cholesky_solve");
        private static readonly Operator _linalg_solve = new("aten::linalg_solve");
        private static readonly Operator _linalg_inv = new("aten::linalg_inv");

        /// <summary>Lower Cholesky factor; error where the matrix is not positive definite.</summary>
        public static Tensor cholesky(Tensor a) => _linalg_cholesky.Call(a);
        /// <summary>Lower (or upper) Cholesky factor and, per matrix, 0 or the order of the leading minor that is not positive definite.</summary>
        public static (Tensor Factor, Tensor Info) cholesky_ex(Tensor a, bool upper = false) => _linalg_cholesky_ex.Call2(a, upper);
        /// <summary>Inverse from a Cholesky factor.</summary>
        public static Tensor cholesky_inverse(Tensor factor, bool upper = false) => _cholesky_inverse.Call(factor, upper);
        /// <summary>Solves a · x = b given the Cholesky factor of a.</summary>
        public static Tensor cholesky_solve(Tensor b, Tensor factor, bool upper = false) => _cholesky_solve.Call(b, factor, upper);
        /// <summary>Solves a · x = b.</summary>
        public static Tensor solve(Tensor a, Tensor b) => _linalg_solve.Call(a, b);
        public static Tensor inv(Tensor a) => _linalg_inv.Call(a);
    }
}
