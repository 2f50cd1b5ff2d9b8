using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Grids;
using Qbb.Quantizer.Methods.Mixed;
using Qbb.Quantizer.Methods.Nested;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>Chooses what carries a recipe out.</summary>
public static class LayerMethods
{
    /// <summary>
    /// On a GPU in batches where the recipe allows it, else on the CPU: a target's grid, nested bases, other inits. Dispose the result where it is <see cref="IDisposable"/>.
    /// </summary>
    /// <param name="recipe">The choices.</param>
    /// <param name="device">A GPU is used where it helps.</param>
    /// <param name="threads">Threads of the CPU's methods; 0 for one per processor. The result does not depend on it.</param>
    public static ILayerMethod For(Recipe recipe, Device device, int threads = 0)
    {
        if (recipe.BasesPerLayer is not null)
            return new MixedMethod(recipe, one => For(one, device, threads));
        if (recipe.Init.IsRounding())
        {
            ILayerMethod rounding = recipe.Init switch
            {
                Init.Gptq => new GptqMethod(recipe, threads),
                Init.Awq => new AwqMethod(recipe, threads),
                Init.Omniquant => new OmniquantMethod(recipe, device),
                _ => new RtnBasesMethod(recipe, threads),
            };
            return recipe.IsRounding ? rounding : new OutputAwareMethod(recipe, threads, rounding);
        }
        if (recipe.Nested)
            return recipe.Importance == Importance.Full ? new NestedOutputAware(recipe, threads) : new NestedMethod(recipe, threads);
        // Steps and minima are solved for on the CPU alone.
        if (recipe.IsOnGrid)
            return recipe.Importance == Importance.Full ? new OutputAwareMethod(recipe, threads) : new GridMethod(recipe, threads);
        if (recipe.Importance == Importance.Full)
            return device.type == DeviceType.CUDA && TorchOutputAware.Supports(recipe) ? new TorchOutputAware(recipe, device, threads) : new OutputAwareMethod(recipe, threads);
        return device.type == DeviceType.CUDA && TorchAlternating.Supports(recipe)
            ? new TorchAlternating(recipe, device)
            : new BasesMethod(recipe, threads);
    }
}
