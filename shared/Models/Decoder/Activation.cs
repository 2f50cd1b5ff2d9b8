namespace Qbb.Models.Decoder;

/// <summary>The non-linearity of the MLP.</summary>
public enum Activation
{
    /// <summary>x · sigmoid(x)</summary>
    Silu,

    /// <summary>x · Φ(x) with the error function.</summary>
    Gelu,

    /// <summary>0.5 x (1 + tanh(sqrt(2/π) (x + 0.044715 x³))): gelu_new, gelu_fast and gelu_pytorch_tanh are this.</summary>
    GeluTanh,

    /// <summary>x · sigmoid(1.702 x)</summary>
    QuickGelu,

    /// <summary>max(x, 0)</summary>
    Relu,

    /// <summary>max(x, 0)²</summary>
    ReluSquared,
}
