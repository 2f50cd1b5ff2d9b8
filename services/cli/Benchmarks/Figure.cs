namespace Qbb.Cli.Benchmarks;

/// <summary>One measured number.</summary>
internal sealed record Figure(string What, double Value, string Unit);
