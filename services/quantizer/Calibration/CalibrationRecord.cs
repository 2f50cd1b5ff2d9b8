namespace Qbb.Quantizer.Calibration;

/// <summary>The data that a model was calibrated on.</summary>
/// <param name="Digest">Identity of the tokens.</param>
/// <param name="Sequences">Sequences that were used.</param>
/// <param name="Tokens">Their tokens.</param>
public sealed record CalibrationRecord(string Digest, int Sequences, long Tokens);
