
namespace Qbb.Registry.Policies;

/// <summary>Which recipes run on an uploaded version of which models.</summary>
internal sealed class Policy
{
    public required string Name { get; init; }

    /// <summary>Names of models; * stands for any characters, ? for one.</summary>
    public required string Models { get; set; }

    public required IReadOnlyList<PolicyRecipe> Recipes { get; set; }

    public Gate? Gate { get; set; }

    public required DateTimeOffset UpdatedAt { get; set; }

    public int Revision { get; set; }
}
