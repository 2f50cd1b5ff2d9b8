namespace Qbb.Cli.Registry;

/// <summary>A pipeline that was watched did not succeed.</summary>
internal sealed class PipelineFailedException(string message) : Exception(message);
