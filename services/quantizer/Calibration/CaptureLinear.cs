using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Calibration;

/// <summary>
/// Stands in for a linear layer that is not quantized yet: adds its inputs to statistics, if any are requested, and gives zeros. What
/// would follow from its outputs is not of interest yet, so its weight need not be there.
/// </summary>
/// <param name="inFeatures">Of the layer.</param>
/// <param name="outFeatures">Of the layer.</param>
/// <param name="statistics">Of its inputs; null where they are not of interest.</param>
/// <param name="stage">Told of every input that was seen; may end the forward pass.</param>
internal sealed class CaptureLinear(int inFeatures, int outFeatures, InputStatistics? statistics = null, CaptureStage? stage = null) : ILinear
{
    public int InFeatures => inFeatures;

    public int OutFeatures => outFeatures;

    public Tensor forward(Tensor x)
    {
        statistics?.Add(x);
        stage?.Seen();
        return torch.zeros([.. x.shape[..^1], outFeatures], x.dtype, x.device);
    }

    public IEnumerable<(string Name, Tensor Value)> Parameters() => [];

    public void Dispose()
    {
    }

    /// <summary>Loads blocks without their linear layers.</summary>
    internal sealed class Loader : ILinearLoader
    {
        public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype) =>
            new CaptureLinear(spec.InFeatures, spec.OutFeatures);
    }
}
