using System.Runtime.InteropServices;
using Qbb.Checkpoints;

namespace Qbb.Bases.Tests;

/// <summary>Tensors in pinned memory behind the interface of a checkpoint.</summary>
internal sealed class MemoryTensorSource(IEnumerable<NamedTensor> tensors) : ITensorSource
{
    private readonly Dictionary<string, (TensorEntry Entry, byte[] Bytes)> _tensors = tensors.ToDictionary(
        tensor => tensor.Name,
        tensor =>
        {
            var bytes = GC.AllocateArray<byte>(tensor.Bytes.Length, pinned: true);
            tensor.Bytes.CopyTo(bytes);
            return (new TensorEntry(tensor.Name, tensor.Type, tensor.Shape, bytes.Length), bytes);
        });

    public IReadOnlyList<TensorEntry> Entries => _tensors.Values.Select(tensor => tensor.Entry).ToList();

    public bool Contains(string name) => _tensors.ContainsKey(name);

    public TensorEntry Describe(string name) =>
        _tensors.TryGetValue(name, out var tensor) ? tensor.Entry : throw new InvalidInputException($"there is no tensor {name}");

    public void ReadFloat(string name, long first, Span<float> destination) => throw new NotSupportedException();

    public unsafe bool TryGetPointer(string name, out byte* pointer)
    {
        pointer = (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_tensors[name].Bytes, 0);
        return true;
    }

    public void Dispose()
    {
    }
}
