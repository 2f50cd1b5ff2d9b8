namespace Qbb.Models.Decoder;

/// <summary>The names that config.json uses for activations.</summary>
internal static class Activations
{
    private static readonly Dictionary<string, Activation> Names = new()
    {
        ["silu"] = Activation.Silu,
        ["swish"] = Activation.Silu,
        ["gelu"] = Activation.Gelu,
        ["gelu_python"] = Activation.Gelu,
        ["gelu_new"] = Activation.GeluTanh,
        ["gelu_fast"] = Activation.GeluTanh,
        ["gelu_pytorch_tanh"] = Activation.GeluTanh,
        ["gelu_python_tanh"] = Activation.GeluTanh,
        ["gelu_accurate"] = Activation.GeluTanh,
        ["quick_gelu"] = Activation.QuickGelu,
        ["relu"] = Activation.Relu,
        ["relu2"] = Activation.ReluSquared,
    };

    public static Activation Parse(ConfigValues config, string key, Activation fallback)
    {
        if (config.Text(key) is not { } name)
            return fallback;
        return Names.TryGetValue(name, out var activation)
            ? activation
            : throw config.Unsupported(key, $"known activations are {string.Join(", ", Names.Keys)}");
    }
}
