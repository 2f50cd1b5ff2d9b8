using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;

namespace Qbb.Synthdata.Sampling;

/// <summary>The model that text is sampled from.</summary>
/// <param name="Model">Ready to run.</param>
/// <param name="Digest">Its <see cref="Models.Checkpoints.ModelDigest"/>.</param>
/// <param name="Tokenizer">
/// Tells which tokens are ordinary, whether a text begins with a BOS, and whether what was sampled is text; null where the model has none.
/// </param>
/// <param name="StopIds">Tokens at which its text ends.</param>
public sealed record Teacher(Transformer Model, string Digest, Tokenizer? Tokenizer, IReadOnlyList<int> StopIds);
