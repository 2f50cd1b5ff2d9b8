namespace Qbb.Models.Decoder;

/// <summary>How norms, attention and MLP follow one another in a block.</summary>
public enum BlockOrder
{
    /// <summary>x += attention(norm1(x)); x += mlp(norm2(x))</summary>
    PreNorm,

    /// <summary>OPT-350m: x = norm1(x + attention(x)); x = norm2(x + mlp(x))</summary>
    PostNorm,

    /// <summary>Phi: x += attention(norm(x)) + mlp(norm(x))</summary>
    ParallelOneNorm,

    /// <summary>GPT-NeoX: x += attention(norm1(x)) + mlp(norm2(x))</summary>
    ParallelTwoNorms,

    /// <summary>Gemma 2 and 3: x += norm2(attention(norm1(x))); x += norm4(mlp(norm3(x)))</summary>
    NormBeforeAndAfter,

    /// <summary>OLMo 2: x += norm1(attention(x)); x += norm2(mlp(x))</summary>
    NormAfter,
}
