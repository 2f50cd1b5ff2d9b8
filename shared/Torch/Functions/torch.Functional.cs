using Qbb.Torch.Interop;

namespace Qbb.Torch;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>Layers as functions, PyTorch's torch.nn.functional.</summary>
        public static class functional
        {
            private static readonly Operator _linear = new("aten::linear");
            private static readonly Operator _embedding = new("aten::embedding");
            private static readonly Operator _layer_norm = new("aten::layer_norm");
            private static readonly Operator _silu = new("aten::silu");
            private static readonly Operator _relu = new("aten::relu");
            private static readonly Operator _gelu = new("aten::gelu");
            private static readonly Operator _softmax_int = new("aten::softmax", "int");
            private static readonly Operator _log_softmax_int = new("aten::log_softmax", "int");
            private static readonly Operator _cross_entropy_loss = new("aten::cross_entropy_loss");
            private static readonly Operator _mse_loss = new("aten::mse_loss");
            private static readonly Operator _constant_pad_nd = new("aten::constant_pad_nd");
            private static readonly Operator _scaled_dot_product_attention = new("aten::scaled_dot_product_attention");

            /// <summary>Whether this libtorch has <see cref="scaled_dot_product_attention"/>: 2.1 and later.</summary>
            public static bool has_scaled_dot_product_attention { get; } = IsAtLeast(2, 1);

            /// <summary>Whether its keys and values may have fewer heads than the queries: libtorch 2.5 and later.</summary>
            public static bool has_enable_gqa { get; } = IsAtLeast(2, 5);

            /// <summary>x · weightᵀ + bias; x is [.., in], weight [out, in].</summary>
            public static Tensor linear(Tensor x, Tensor weight, Tensor? bias = null) => _linear.Call(x, weight, bias);
            /// <summary>Rows of weight [V, d] by ids of any shape.</summary>
            public static Tensor embedding(Tensor ids, Tensor weight) => _embedding.Call(weight, ids);
            /// <summary>Normalises the last dimensions to mean 0 and variance 1.</summary>
            public static Tensor layer_norm(Tensor x, long[] shape, Tensor? weight = null, Tensor? bias = null, double eps = 1e-5) => _layer_norm.Call(x, shape, weight, bias, eps);
            /// <summary>x · σ(x).</summary>
            public static Tensor silu(Tensor x) => _silu.Call(x);
            public static Tensor relu(Tensor x) => _relu.Call(x);
            /// <summary>Exact, or with approximate = "tanh".</summary>
            public static Tensor gelu(Tensor x, string approximate = "none") => _gelu.Call(x, approximate);
            public static Tensor softmax(Tensor x, int dimension, ScalarType? dtype = null) => _softmax_int.Call(x, dimension, dtype);
            public static Tensor log_softmax(Tensor x, int dimension, ScalarType? dtype = null) => _log_softmax_int.Call(x, dimension, dtype);
            /// <summary>Mean over rows of −log softmax(x)[row, target[row]]; rows whose target is ignore_index do not count. reduction: 0 none, 1 mean, 2 sum.</summary>
            public static Tensor cross_entropy(Tensor x, Tensor target, int reduction = 1, long ignore_index = -100) => _cross_entropy_loss.Call(x, target, Argument.None, reduction, ignore_index);
            /// <summary>Mean squared difference (reduction as in cross_entropy).</summary>
            public static Tensor mse_loss(Tensor x, Tensor target, int reduction = 1) => _mse_loss.Call(x, target, reduction);
            /// <summary>
            /// softmax(scale · q kᵀ + mask) v in one fused kernel where there is one; queries, keys, values are [.., heads, n, d].
            /// libtorch 2.1 and later. With enable_gqa neighbouring heads of queries share a head of keys and values; no mask then.
            /// </summary>
            public static Tensor scaled_dot_product_attention(
                Tensor query, Tensor key, Tensor value, Tensor? attn_mask = null, double dropout_p = 0, bool is_causal = false,
                double? scale = null, bool enable_gqa = false) => enable_gqa
                ? _scaled_dot_product_attention.Call(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
                : _scaled_dot_product_attention.Call(query, key, value, attn_mask, dropout_p, is_causal, scale);
            /// <summary>Pads the last dimensions: (left, right) of the last, then of the one before it, …</summary>
            public static Tensor pad(Tensor x, long[] pad, Scalar value) => _constant_pad_nd.Call(x, pad, value);

            internal static bool IsAtLeast(int major, int minor) =>
                Version.Parse(version.Split('+', '-', 'a')[0]) >= new Version(major, minor);
        }
    }
}
