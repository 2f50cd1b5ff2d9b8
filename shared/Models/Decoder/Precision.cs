namespace Qbb.Models.Decoder;

/// <summary>Types to calculate in.</summary>
internal static class Precision
{
    /// <summary>Norms and softmax need fp32 at least.</summary>
    public static ScalarType OfStatistics(ScalarType dtype) => dtype == ScalarType.Float64 ? dtype : ScalarType.Float32;
}
