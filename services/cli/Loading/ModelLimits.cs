using System.CommandLine;
using Qbb.Checkpoints;
using Qbb.Cli.Terminal;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;

namespace Qbb.Cli.Loading;

/// <summary>Choices that a model's shape refuses, told from its headers before its weights are read.</summary>
internal static class ModelLimits
{
    private const string AllowName = "--allow-long-context";

    public static Option<bool> AllowLongContext() => new(AllowName) { Description = "Permit windows beyond the context length that the model was trained for." };

    public static bool AllowsLongContext(ParseResult parsed) => parsed.GetValue<bool>(AllowName);

    /// <summary>Tokens of a window.</summary>
    /// <param name="option">Its name, for the message.</param>
    /// <param name="given">Its value; null for the usual one, or the model's longest if that is shorter.</param>
    /// <param name="usual">The usual one.</param>
    /// <param name="longest">The model's context length.</param>
    /// <param name="allowed">Whether more than that was requested explicitly.</param>
    /// <exception cref="InvalidInputException">More than the model's context, and not allowed.</exception>
    public static int Context(string option, int? given, int usual, int longest, bool allowed) => given is null || given <= longest || allowed
        ? given ?? Math.Min(usual, longest)
        : throw new InvalidInputException(
            $"{option} is {given}, but the model's context length is {longest}: beyond it attention is slow and its predictions mean little", $"use {option} {longest} or less, or add {AllowName}");

    /// <summary>The recipe with groups that divide the model's rows, where its target lets them be chosen; says where they are others.</summary>
    /// <exception cref="InvalidInputException">The target holds no such rows.</exception>
    public static Recipe FitTarget(string model, Recipe recipe, Output output)
    {
        var fitted = ModelQuantizer.Fit(recipe, model);
        if (fitted.Group != recipe.Group)
            output.Note($"groups of {fitted.Group}: {recipe.Group} does not divide all rows of this model, and {recipe.Target} has whole groups only");
        return fitted;
    }

    /// <summary>How another program packed a model's weights, which are read dequantised; null for plain ones.</summary>
    public static string? PackedBy(string model)
    {
        using var source = ModelSource.Open(model);
        return source.Packed?.Description;
    }

    /// <summary>Refuses a group that is longer than a row. The default's 128 then means the row; a larger number that was typed is a mistake.</summary>
    /// <param name="model">Folder or GGUF file.</param>
    /// <param name="group">Inputs that share a scale; null for the row.</param>
    /// <param name="typed">Whether it was given on the command line.</param>
    public static void CheckGroup(string model, int? group, bool typed)
    {
        if (group is null || !typed && group == new Recipe().Group)
            return;
        using var source = ModelSource.Open(model);
        var layout = DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors);
        if (layout.Linears.FirstOrDefault(layer => layer.InFeatures < group) is { } layer)
            throw new InvalidInputException($"the group of {group} is longer than the rows of {layer.Weight}, which have {layer.InFeatures} weights", $"use --group {layout.Linears.Min(one => one.InFeatures)} or less, or --group row");
    }
}
