using System.ComponentModel.DataAnnotations;

namespace Qbb.Hosting.Artifacts;

/// <summary>Section <c>Artifacts</c> of the configuration.</summary>
public sealed class ArtifactOptions : IValidatableObject
{
    public const string Section = "Artifacts";

    public ArtifactPlace Store { get; set; } = ArtifactPlace.Folder;

    /// <summary>The folder of the store, shared by all services; with S3 its subfolder <c>cache</c> holds what workers have read.</summary>
    public string Folder { get; set; } = "";

    /// <summary>With S3: GiB (2^30 bytes) that the cache may take. What is in use stays, whatever it takes.</summary>
    public double CacheGigabytes { get; set; } = 100;

    public S3Options S3 { get; set; } = new();

    /// <summary>Bytes that the cache may take.</summary>
    public long CacheBytes => (long)Math.ScaleB(CacheGigabytes, 30);

    /// <summary>The folder of the cache.</summary>
    public string CacheFolder => Path.Combine(Folder, "cache");

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!Enum.IsDefined(Store))
            yield return new("Artifacts:Store must be folder or s3");
        if (string.IsNullOrWhiteSpace(Folder))
        {
            yield return new(Store == ArtifactPlace.S3
                ? "Artifacts:Folder is not set; give the folder whose subfolder cache holds what was read"
                : "Artifacts:Folder is not set; give the folder that all services share");
        }
        if (!(CacheGigabytes > 0 && CacheGigabytes <= 1e6))
            yield return new($"Artifacts:CacheGigabytes is {CacheGigabytes}; it must be above 0 and at most 1000000");
        foreach (var problem in Store == ArtifactPlace.S3 ? S3.Problems() : [])
            yield return new(problem);
    }
}
