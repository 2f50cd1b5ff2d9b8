using Qbb.Checkpoints;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Methods.OutputAware;

/// <summary>A layer of tests/Reference/methods: weights, inputs, and what known implementations made of them.</summary>
internal sealed class ReferenceLayer
{
    public static readonly string[] Names = ["gaussian-96x256", "student-64x384", "ragged-128x200"];
    private readonly string _name;

    public ReferenceLayer(string name)
    {
        _name = name;
        using var file = SafetensorsFile.Open(Reference.Path("methods", name, "layer.safetensors"));
        var shape = file.Describe("W").Shape;
        (Rows, Columns) = ((int)shape[0], (int)shape[1]);
        Inputs = Read(file, "X");
        using var scope = torch.NewDisposeScope();
        var statistics = new InputStatistics(Columns);
        statistics.Add(torch.tensor(Inputs, Inputs.Length / Columns, Columns));
        Weights = new LayerWeights("W", Rows, Columns, Read(file, "W")) { Inputs = statistics };
    }

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>[tokens, in]</summary>
    public float[] Inputs { get; }

    public LayerWeights Weights { get; }

    /// <summary>Dequantised weights of another implementation.</summary>
    public float[] Result(string method)
    {
        using var file = SafetensorsFile.Open(Reference.Path("methods", _name, "results.safetensors"));
        return Read(file, method);
    }

    /// <summary>tr((W − Q) H (W − Q)ᵀ), H = 2/n XᵀX undamped, in double: the figure of the reference's README.</summary>
    public double Objective(ReadOnlySpan<float> values)
    {
        using var scope = torch.NewDisposeScope();
        var w = torch.tensor(Weights.Values.Span, Rows, Columns).to(ScalarType.Float64);
        var x = torch.tensor(Inputs, Inputs.Length / Columns, Columns).to(ScalarType.Float64);
        var error = w - torch.tensor(values, Rows, Columns).to(ScalarType.Float64);
        return 2.0 * Columns / Inputs.Length * torch.matmul(error, x.t()).square().sum().ToDouble();
    }

    private static float[] Read(SafetensorsFile file, string name)
    {
        var values = new float[file.Describe(name).Count];
        file.ReadFloat(name, 0, values);
        return values;
    }
}
