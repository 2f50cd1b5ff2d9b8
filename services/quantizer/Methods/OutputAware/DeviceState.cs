namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>All rows of a layer on their way through the steps, on a device; <see cref="RowBlock"/> is the plain form.</summary>
/// <param name="Codes">Signs, u8 [out, in]: bit i for basis i.</param>
/// <param name="Alpha">Scales, f16 [N, out, groups].</param>
/// <param name="Beta">Biases, f16 [out, groups], or null.</param>
internal sealed record DeviceState(Tensor Codes, Tensor Alpha, Tensor? Beta)
{
    /// <summary>e = w − ŵ, [out, in].</summary>
    public required Tensor Errors { get; init; }

    /// <summary>eH, [out, in].</summary>
    public required Tensor Gradients { get; init; }

    /// <summary>eHeᵀ, [out].</summary>
    public required Tensor Objectives { get; init; }

    /// <summary>A state with room for its errors.</summary>
    public static DeviceState Of(Tensor codes, Tensor alpha, Tensor? beta, ScalarType type) => new(codes, alpha, beta)
    {
        Errors = torch.empty(codes.shape, type, codes.device),
        Gradients = torch.empty(codes.shape, type, codes.device),
        Objectives = torch.empty([codes.size(0)], type, codes.device),
    };

    /// <summary>A copy of its own.</summary>
    public DeviceState Copy() => new(Codes.clone(), Alpha.clone(), Beta?.clone())
    {
        Errors = Errors.clone(),
        Gradients = Gradients.clone(),
        Objectives = Objectives.clone(),
    };
}
