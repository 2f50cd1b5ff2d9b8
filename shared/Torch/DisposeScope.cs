namespace Qbb.Torch;

/// <summary>Bounds native memory: tensors made on this thread while the scope is the innermost one are disposed with it.</summary>
public sealed class DisposeScope : IDisposable
{
    [ThreadStatic] private static DisposeScope? s_current;
    private readonly DisposeScope? _outer = s_current;
    private readonly List<Tensor?> _tensors = [];
    private bool _disposed;

    internal DisposeScope() => s_current = this;

    internal static DisposeScope? Current => s_current;

    internal void Add(Tensor tensor)
    {
        tensor.Scope = this;
        tensor.ScopeSlot = _tensors.Count;
        _tensors.Add(tensor);
    }

    internal void Remove(Tensor tensor)
    {
        var last = _tensors[^1]!;
        _tensors[tensor.ScopeSlot] = last;
        last.ScopeSlot = tensor.ScopeSlot;
        _tensors.RemoveAt(_tensors.Count - 1);
        tensor.Scope = null;
    }

    /// <summary>Lets a result survive this scope: it then belongs to the scope around it, or to nobody.</summary>
    public Tensor MoveToOuter(Tensor tensor)
    {
        if (tensor.Scope == this)
        {
            Remove(tensor);
            _outer?.Add(tensor);
        }
        return tensor;
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        if (s_current != this)
            throw new InvalidOperationException("dispose scopes end in the reverse order of their beginning, on the thread that began them");
        _disposed = true;
        s_current = _outer;
        for (var k = _tensors.Count - 1; k >= 0; k--)
        {
            _tensors[k]!.Scope = null;
            _tensors[k]!.Dispose();
        }
        _tensors.Clear();
    }
}
