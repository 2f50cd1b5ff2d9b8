using System.Runtime.ExceptionServices;

namespace Qbb.Models;

/// <summary>
/// Threads that wait for blocks of rows. Block k of a product goes to the same thread every time, whose cache may still hold its weights
/// from the token before; a block whose thread has not woken when the caller is through with its own is done by the caller, so that a
/// machine with other work on it costs no more than one thread would.
/// </summary>
internal sealed class RowWorkers
{
    /// <summary>The one set of a process.</summary>
    public static readonly RowWorkers Shared = new();

    private readonly Lock _busy = new();
    private readonly List<Worker> _workers = [];

    /// <summary>
    /// Calls <paramref name="body"/> with ranges that together are [0, count), on this thread and others, and waits for all of them. When
    /// another product runs at the same time, everything is done on this thread.
    /// </summary>
    /// <param name="count">Rows, or whatever is shared out.</param>
    /// <param name="threads">Threads at most, this one included.</param>
    /// <param name="body">Work on [first, last); must not call this method.</param>
    public void Run(int count, int threads, Action<int, int> body)
    {
        threads = Math.Min(threads, count);
        if (threads <= 1 || !_busy.TryEnter())
        {
            body(0, count);
            return;
        }
        try
        {
            while (_workers.Count < threads - 1)
                _workers.Add(new Worker());
            for (var k = 1; k < threads; k++)
                _workers[k - 1].Start(body, (int)((long)count * k / threads), (int)((long)count * (k + 1) / threads));
            Exception? failure = null;
            try
            {
                body(0, count / threads);
            }
            catch (Exception e)
            {
                failure = e;
            }
            // All must have stopped before an exception lets go of the memory they work on.
            for (var k = 1; k < threads; k++)
                failure = _workers[k - 1].Finish() ?? failure;
            if (failure is not null)
                ExceptionDispatchInfo.Throw(failure);
        }
        finally
        {
            _busy.Exit();
        }
    }

    private sealed class Worker
    {
        /// <summary>Looks so often before sleeping: some 20 µs, the time that the operators between two products take.</summary>
        private const int Spins = 60;

        private const int Idle = 0;
        private const int Offered = 1;

        private readonly ManualResetEventSlim _started = new(false, Spins);
        private readonly ManualResetEventSlim _finished = new(false, Spins);
        private (Action<int, int> Body, int First, int Last) _work;
        private Exception? _failure;
        private int _state;

        public Worker() => new Thread(Loop) { IsBackground = true, Name = "qbb rows" }.Start();

        public void Start(Action<int, int> body, int first, int last)
        {
            _work = (body, first, last);
            _finished.Reset();
            Volatile.Write(ref _state, Offered);
            _started.Set();
        }

        /// <summary>Does the work if the thread has not begun it, else waits; returns what went wrong.</summary>
        public Exception? Finish()
        {
            if (TryTake())
                Work();
            else
                _finished.Wait();
            _work = default;
            return _failure;
        }

        private bool TryTake() => Interlocked.CompareExchange(ref _state, Idle, Offered) == Offered;

        private void Work()
        {
            _failure = null;
            try
            {
                _work.Body(_work.First, _work.Last);
            }
            catch (Exception e)
            {
                _failure = e;
            }
        }

        private void Loop()
        {
            while (true)
            {
                _started.Wait();
                // Before the look at the state: an offer made after this sets the event again.
                _started.Reset();
                if (!TryTake())
                    continue;
                Work();
                _finished.Set();
            }
        }
    }
}
