namespace Qbb.Registry.Models;

/// <summary>Where a version comes from.</summary>
public enum VersionKind
{
    Upload,
    Quantized,
}
