namespace Qbb.Artifacts;

/// <summary>The store does not answer, or has too much to do: the same may go well a little later.</summary>
public sealed class StoreAwayException(string message, Exception? inner = null) : ArtifactStoreException(message, inner);
