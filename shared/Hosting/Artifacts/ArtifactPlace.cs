namespace Qbb.Hosting.Artifacts;

/// <summary>What keeps the artifacts.</summary>
public enum ArtifactPlace
{
    /// <summary>A folder that all services see.</summary>
    Folder,

    /// <summary>A bucket of an S3 service.</summary>
    S3,
}
