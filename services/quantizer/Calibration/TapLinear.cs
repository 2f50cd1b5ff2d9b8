using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Calibration;

/// <summary>A linear layer whose inputs are added to statistics as they pass. Does not own the layer.</summary>
internal sealed class TapLinear(ILinear inner, InputStatistics statistics) : ILinear
{
    public int InFeatures => inner.InFeatures;

    public int OutFeatures => inner.OutFeatures;

    public Tensor forward(Tensor x)
    {
        statistics.Add(x);
        return inner.forward(x);
    }

    public IEnumerable<(string Name, Tensor Value)> Parameters() => inner.Parameters();

    public void Dispose()
    {
    }
}
