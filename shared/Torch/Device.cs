namespace Qbb.Torch;

/// <summary>A device: <c>cpu</c>, or <c>cuda:0</c>.</summary>
public sealed record Device(DeviceType Type, int Index = -1)
{
    public static Device CPU { get; } = new(DeviceType.CPU);
    public static Device CUDA { get; } = new(DeviceType.CUDA, 0);

    /// <summary>Parses <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</summary>
    public static Device Parse(string text) => text switch
    {
        "cpu" => CPU,
        "cuda" => CUDA,
        _ when text.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(text.AsSpan(5), out var index) && index >= 0 => new(DeviceType.CUDA, index),
        _ => throw new FormatException($"'{text}' is no device: use cpu, cuda or cuda:N"),
    };

    public override string ToString() => Type == DeviceType.CPU ? "cpu" : $"cuda:{Math.Max(Index, 0)}";
}
