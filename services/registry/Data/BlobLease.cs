namespace Qbb.Registry.Blobs;

/// <summary>Keeps an uploaded blob that no version lists yet, while the rest of the upload is on its way.</summary>
internal sealed class BlobLease
{
    public required string Digest { get; init; }

    public required DateTimeOffset ExpiresAt { get; set; }
}
