using Qbb.Bases;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Calibration;

/// <summary>What quantizes and keeps the layers that a calibration comes by.</summary>
public interface ILayerSink
{
    /// <summary>Whether an earlier run finished the layer.</summary>
    bool IsFinished(LinearSpec spec);

    /// <summary>Quantizes and keeps a layer, or counts one that is finished.</summary>
    /// <param name="spec">Which.</param>
    /// <param name="inputs">Of its inputs; null where it is finished or the recipe asks for none.</param>
    /// <param name="readers">All layers that read these inputs; null where there are none.</param>
    /// <param name="cancellation">Stops in the middle.</param>
    void Finish(LinearSpec spec, InputStatistics? inputs, IReadOnlyList<LinearSpec>? readers, CancellationToken cancellation);

    /// <summary>A finished layer.</summary>
    IQuantizedWeight Read(LinearSpec spec);
}
