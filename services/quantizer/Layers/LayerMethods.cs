using Qbb.Quantizer.Batched;
using Qbb.Quantizer.Decomposition;
using Qbb.Quantizer.Recipes;
using Qbb.Torch;

namespace Qbb.Quantizer.Layers;

/// <summary>Chooses what carries a recipe out.</summary>
public static class LayerMethods
{
    /// <summary>On a GPU in batches where the recipe allows it, else on the CPU. Dispose the result where it is <see cref="IDisposable"/>.</summary>
    public static ILayerMethod For(Recipe recipe, Device device) =>
        device.Type == DeviceType.CUDA && TorchAlternating.Supports(recipe) ? new TorchAlternating(recipe, device) : new BasesMethod(recipe);
}
