using System.ComponentModel.DataAnnotations;

namespace Qbb.Hosting.Artifacts;

/// <summary>Section <c>Artifacts</c> of the configuration.</summary>
public sealed class ArtifactOptions : IValidatableObject
{
    public const string Section = "Artifacts";

    /// <summary>The folder of the store, shared by all services.</summary>
    public string Folder { get; set; } = "";

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (string.IsNullOrWhiteSpace(Folder))
            yield return new("Artifacts:Folder is not set; give the folder that all services share");
    }
}
