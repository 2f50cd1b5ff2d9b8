using System.Text.Json.Nodes;
using Qbb.Contracts;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>The digests by which commands name the parts of a recipe.</summary>
internal sealed class RecipeParts
{
    private readonly Digest? _sampling;
    private readonly Digest? _filter;
    private readonly Digest? _distillation;

    private RecipeParts(PipelineRecipe recipe)
    {
        Decomposition = PipelineRecipe.DigestOf(recipe.Decomposition);
        Evaluation = PipelineRecipe.DigestOf(recipe.Evaluation);
        (_sampling, _filter, _distillation) = (Of(recipe.Sampling), Of(recipe.Filter), Of(recipe.Distillation));
    }

    public Digest Decomposition { get; }

    public Digest Evaluation { get; }

    public Digest Sampling => Given(_sampling);

    public Digest Filter => Given(_filter);

    public Digest Distillation => Given(_distillation);

    public static RecipeParts Of(PipelineRecipe recipe) => new(recipe);

    private static Digest? Of(JsonObject? part) => part is null ? null : PipelineRecipe.DigestOf(part);

    private static Digest Given(Digest? part) =>
        part ?? throw new InvalidOperationException("the recipe lacks the part of a stage that is under way");
}
