using Microsoft.Extensions.Options;

namespace Qbb.Workers.Models;

/// <summary>
/// The models that were used last, loaded: a stage's units follow one another and need the same. For one unit at a time
/// (<see cref="Units.ComputeGate"/>); a unit's models stay at least until its end.
/// </summary>
public sealed class WarmModels(ModelFolders folders, IOptions<WorkerOptions> options) : IDisposable
{
    // The last one used is the last of the list.
    private readonly List<(Digest Manifest, ScalarType DType, WarmModel Model)> _loaded = [];

    /// <summary>Loads a model, or finds it loaded.</summary>
    /// <param name="manifest">Of its folder.</param>
    /// <param name="dtype">Type to calculate in.</param>
    /// <param name="cancellation">Stops before loading.</param>
    public async Task<WarmModel> LoadAsync(Digest manifest, ScalarType dtype = ScalarType.Float32, CancellationToken cancellation = default)
    {
        var place = _loaded.FindIndex(loaded => loaded.Manifest == manifest && loaded.DType == dtype);
        var folder = await folders.OpenAsync(manifest, cancellation);
        var model = place < 0 ? Load(folder, dtype) : _loaded[place].Model;
        if (place >= 0)
            _loaded.RemoveAt(place);
        _loaded.Add((manifest, dtype, model));
        return model;
    }

    public void Dispose()
    {
        _loaded.ForEach(loaded => loaded.Model.Dispose());
        _loaded.Clear();
    }

    private WarmModel Load(string folder, ScalarType dtype)
    {
        // A unit uses two models at most, teacher and student: room is made before the next is loaded.
        while (_loaded.Count >= Math.Max(2, options.Value.WarmModels))
        {
            _loaded[0].Model.Dispose();
            _loaded.RemoveAt(0);
        }
        return new WarmModel(folder, options.Value.ReadDevice(), dtype);
    }
}
