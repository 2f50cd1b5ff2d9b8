namespace Qbb.Artifacts;

/// <summary>The store cannot do what was asked; the message says why and what helps.</summary>
public class ArtifactStoreException(string message, Exception? inner = null) : Exception(message, inner);
