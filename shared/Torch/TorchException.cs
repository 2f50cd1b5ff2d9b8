namespace Qbb.Torch;

/// <summary>libtorch refused a call.</summary>
/// <param name="operation">The operator: <c>aten::matmul</c>.</param>
/// <param name="shapes">Types and shapes of the tensor arguments: <c>f32[2, 3]</c>.</param>
/// <param name="detail">libtorch's own message.</param>
public sealed class TorchException(string operation, IReadOnlyList<string> shapes, string detail)
    : Exception($"{operation}({string.Join(", ", shapes)}): {detail}")
{
    public string Operation { get; } = operation;
    public IReadOnlyList<string> Shapes { get; } = shapes;
    public string Detail { get; } = detail;
}
