using Qbb.Models.Decoder;
using Qbb.Quantizer.OutputAware;

namespace Qbb.Quantizer.Mixed;

/// <summary>Second moments of the inputs of one block's layers; layers that read the same inputs share them.</summary>
/// <param name="groups">Groups of layers that read one and the same input.</param>
internal sealed class BlockStatistics(IEnumerable<IReadOnlyList<LinearSpec>> groups) : IDisposable
{
    private readonly List<(IReadOnlyList<LinearSpec> Layers, InputStatistics Statistics)> _groups =
        [.. groups.Select(group => (group, new InputStatistics(group[0].InFeatures)))];

    /// <summary>Of every group the layer whose inputs are looked at.</summary>
    public IEnumerable<(LinearSpec Spec, InputStatistics Statistics)> Firsts => _groups.Select(group => (group.Layers[0], group.Statistics));

    public InputStatistics Of(LinearSpec spec) => _groups.First(group => group.Layers.Contains(spec)).Statistics;

    public void Dispose() => _groups.ForEach(group => group.Statistics.Dispose());
}
