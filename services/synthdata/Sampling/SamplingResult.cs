using Qbb.Synthdata.Data;

namespace Qbb.Synthdata.Sampling;

/// <summary>The result of a sampling run.</summary>
/// <param name="Folder">The data.</param>
/// <param name="Manifest">Its manifest.</param>
/// <param name="ResumedShards">Shards that an earlier run had finished.</param>
/// <param name="DrawnTokens">Tokens that this run drew from the teacher.</param>
/// <param name="Seconds">Time that drawing them took.</param>
public sealed record SamplingResult(string Folder, DataManifest Manifest, int ResumedShards, long DrawnTokens, double Seconds);
