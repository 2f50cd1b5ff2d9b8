using System.IO.Enumeration;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>Which recipes run on an uploaded version of which models.</summary>
internal sealed class Policy
{
    public required string Name { get; init; }

    /// <summary>Names of models; * stands for any characters, ? for one; capital letters count.</summary>
    public required string Models { get; set; }

    public required IReadOnlyList<PolicyRecipe> Recipes { get; set; }

    public Gate? Gate { get; set; }

    /// <summary>Versions in MLflow that are taken and quantized; null for none.</summary>
    public MlflowSource? Mlflow { get; set; }

    /// <summary>A model of the hub whose commits are taken and quantized, such as hf:OWNER/NAME@REVISION; null for none.</summary>
    public string? Hub { get; set; }

    /// <summary>Where champions are pushed to, such as oci://HOST/{model}:{version}; null for nowhere.</summary>
    public string? Oci { get; set; }

    public required DateTimeOffset UpdatedAt { get; set; }

    public int Revision { get; set; }

    public bool AppliesTo(string model) => Matches(Models, model);

    public static bool Matches(string pattern, string model) => FileSystemName.MatchesSimpleExpression(pattern, model, ignoreCase: false);
}

/// <summary>A recipe of a policy.</summary>
/// <param name="Name">What people call it.</param>
/// <param name="Json">Canonical JSON.</param>
internal sealed record PolicyRecipe(string Name, string Json);

internal sealed class PolicyMapping : IEntityTypeConfiguration<Policy>
{
    public void Configure(EntityTypeBuilder<Policy> builder)
    {
        builder.ToTable("policies");
        builder.HasKey(policy => policy.Name);
        builder.Property(policy => policy.Name).HasMaxLength(64);
        builder.Property(policy => policy.Models).HasMaxLength(128);
        builder.Property(policy => policy.Recipes).AsJson();
        builder.Property(policy => policy.Gate).AsJson();
        builder.Property(policy => policy.Mlflow).AsJson();
        builder.Property(policy => policy.Hub).HasMaxLength(512);
        builder.Property(policy => policy.Oci).HasMaxLength(512);
        builder.Property(policy => policy.Revision).IsConcurrencyToken();
    }
}
