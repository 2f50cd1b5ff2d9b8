using System.Runtime.ExceptionServices;
using System.Runtime.Intrinsics.X86;

namespace Qbb.Inference.Decoding;

/// <summary>
/// Threads that run one body together and meet in it hundreds of times a token: they spin for each other, where a pool's threads would sleep
/// longer than the work between two meetings takes. Between bodies they sleep.
/// </summary>
internal sealed class ThreadTeam : IDisposable
{
    /// <summary>Looks so often before the processor is left to other threads: some 20 µs.</summary>
    private const int Spins = 500;

    private readonly SemaphoreSlim[] _starts;
    private readonly Thread[] _threads;
    private Action<int>? _body;
    private volatile ExceptionDispatchInfo? _failure;
    private int _arrived;
    private int _finished;
    private int _round;
    private bool _ends;

    /// <param name="count">Threads, the caller of <see cref="Run"/> included.</param>
    public ThreadTeam(int count)
    {
        Count = count;
        _starts = [.. Enumerable.Range(1, count - 1).Select(_ => new SemaphoreSlim(0))];
        _threads = [.. Enumerable.Range(1, count - 1).Select(index => new Thread(() => Loop(index)) { IsBackground = true, Name = "qbb decoder" })];
        foreach (var thread in _threads)
            thread.Start();
    }

    public int Count { get; }

    /// <summary>Calls the body with 0 to <see cref="Count"/> − 1, each on a thread, and waits for all.</summary>
    public void Run(Action<int> body)
    {
        (_body, _failure, _arrived, _finished) = (body, null, 0, 0);
        foreach (var start in _starts)
            start.Release();
        Try(0);
        for (var spins = 0; Volatile.Read(ref _finished) < Count; spins++)
            Pause(spins);
        _failure?.Throw();
    }

    /// <summary>Waits in a body until every thread is here.</summary>
    /// <exception cref="InvalidOperationException">Another thread's body failed.</exception>
    public void Meet()
    {
        if (Count == 1)
            return;
        var round = Volatile.Read(ref _round);
        if (Interlocked.Increment(ref _arrived) == Count)
        {
            _arrived = 0;
            Volatile.Write(ref _round, round + 1);
            return;
        }
        for (var spins = 0; Volatile.Read(ref _round) == round; spins++)
        {
            if (_failure is not null)
                throw new InvalidOperationException("another thread of the decoder failed");
            Pause(spins);
        }
    }

    public void Dispose()
    {
        _ends = true;
        for (var k = 0; k < _threads.Length; k++)
        {
            _starts[k].Release();
            _threads[k].Join();
            _starts[k].Dispose();
        }
    }

    private void Loop(int index)
    {
        while (true)
        {
            _starts[index - 1].Wait();
            if (_ends)
                return;
            Try(index);
        }
    }

    private void Try(int index)
    {
        try
        {
            _body!(index);
        }
        catch (Exception error)
        {
            // The first one counts: the others say that a thread failed.
            Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(error), null);
        }
        Interlocked.Increment(ref _finished);
    }

    private static void Pause(int spins)
    {
        if (spins >= Spins)
            Thread.Yield();
        else if (X86Base.IsSupported)
            X86Base.Pause();
        else
            Thread.SpinWait(1);
    }
}
