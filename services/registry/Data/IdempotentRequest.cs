namespace Qbb.Registry.Idempotency;

/// <summary>The answer to a request that carried an idempotency key, for when it is sent again.</summary>
internal sealed class IdempotentRequest
{
    public required string Key { get; init; }

    /// <summary>Method and path.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Digest of the body: a key belongs to one request.</summary>
    public required string Fingerprint { get; init; }

    /// <summary>Null while the first request is under way.</summary>
    public int? Status { get; set; }

    public string? Location { get; set; }

    public string? ContentType { get; set; }

    public byte[]? Body { get; set; }

    public required DateTimeOffset CreatedAt { get; init; }
}
