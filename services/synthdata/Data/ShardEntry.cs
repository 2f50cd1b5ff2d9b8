namespace Qbb.Synthdata.Data;

/// <summary>One file of sequences.</summary>
/// <param name="File">Its name in the folder.</param>
/// <param name="Sequences">Its rows.</param>
/// <param name="Sha256">Of the file: 64 lower-case hexadecimal digits.</param>
public sealed record ShardEntry(string File, int Sequences, string Sha256);
