namespace Qbb.Registry.Idempotency;

/// <summary>Marks an endpoint that takes the header Idempotency-Key.</summary>
internal sealed class Idempotent
{
    public const string Header = "Idempotency-Key";

    public static readonly Idempotent Mark = new();
}
