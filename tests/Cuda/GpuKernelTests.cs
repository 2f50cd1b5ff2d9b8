namespace Qbb.Cuda.Tests;

public sealed class GpuKernelTests : IDisposable
{
    private const string Scale = """
        extern "C" __global__ void scale(const float* x, float* y, int n, float a) {
            extern __shared__ float tile[];
            int i = blockIdx.x * blockDim.x + threadIdx.x;
            if (i >= n) return;
            tile[threadIdx.x] = a * x[i] + OFFSET;
            y[i] = tile[threadIdx.x];
        }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("qbb-kernels-").FullName;
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, true);
    }

    [Fact]
    public void A_kernel_runs_in_order_with_libtorch_and_its_image_is_kept()
    {
        var kernel = Load("-DOFFSET=0.5f");
        Directory.GetFiles(_folder).Length.ShouldBe(1);
        foreach (var n in new[] { 0, 1, 255, 1000 })
        {
            var x = torch.arange(0, n, 1, ScalarType.Float32, torch.CUDA) + 1;
            var y = torch.full([n], double.NaN, ScalarType.Float32, torch.CUDA);
            kernel.Launch((n + 255) / 256, 256, 1024, x, y, n, 2f);
            (y - 1).ToArray<float>().ShouldBe(Enumerable.Range(1, n).Select(i => 2f * i - 0.5f));
        }
    }

    [Fact]
    public void More_than_48_kilobytes_of_shared_memory_are_asked_for()
    {
        var kernel = Load("-DOFFSET=0.f");
        var (x, y) = (torch.ones([4], device: torch.CUDA), torch.zeros([4], device: torch.CUDA));
        kernel.Launch(1, 32, 100_000, x, y, 4, 3f);
        y.ToArray<float>().ShouldBe([3f, 3f, 3f, 3f]);
        Should.Throw<CudaException>(() => kernel.Launch(1, 32, 10_000_000, x, y, 4, 3f)).Message.ShouldContain("a block has at most");
    }

    [Fact]
    public void Wrong_arguments_are_refused_before_the_launch()
    {
        var kernel = Load("-DOFFSET=0.f");
        var x = torch.ones([4, 4], device: torch.CUDA);
        Should.Throw<ArgumentException>(() => kernel.Launch(1, 32, 0, x, x, 4));
        Should.Throw<ArgumentException>(() => kernel.Launch(1, 32, 0, x, x, 4, 3.0));
        Should.Throw<ArgumentException>(() => kernel.Launch(1, 32, 0, x.t(), x, 4, 3f)).Message.ShouldContain("not contiguous");
    }

    [Fact]
    public void A_source_with_an_error_gives_the_compilers_log()
    {
        RequireGpu();
        var error = Should.Throw<CudaException>(() => KernelModule.Load(new KernelSource("broken.cu", "extern \"C\" __global__ void f() { undeclared = 1; }"), torch.CUDA));
        error.Message.ShouldContain("broken.cu");
        error.Message.ShouldContain("undeclared");
    }

    [Fact]
    public void A_graph_replays_what_was_captured()
    {
        var kernel = Load("-DOFFSET=0.f");
        Should.Throw<CudaException>(() => CudaGraph.Capture(torch.CUDA, () => { }));
        var (x, y) = (torch.ones([64], device: torch.CUDA), torch.zeros([64], device: torch.CUDA));
        torch.cuda.synchronize();
        var stream = new CudaStream(torch.CUDA);
        using (stream.Use())
        {
            CudaStream.Current(0).ShouldNotBe(0);
            using var graph = CudaGraph.Capture(torch.CUDA, () =>
            {
                kernel.Launch(1, 64, 1024, x, y, 64, 2f);
                kernel.Launch(1, 64, 1024, y, x, 64, 2f);
            });
            x.ToArray<float>()[0].ShouldBe(1f);
            for (var k = 0; k < 3; k++)
                graph.Replay();
            x.ToArray<float>().ShouldAllBe(v => v == 64f);
            using CudaEvent start = new(torch.CUDA), end = new(torch.CUDA);
            start.Record();
            graph.Replay();
            end.Record().SecondsSince(start).ShouldBeGreaterThan(0);
        }
        CudaStream.Current(0).ShouldBe(0);
    }

    [Fact]
    public void A_graph_keeps_the_memory_that_its_work_allocates_and_holds_a_backward_pass()
    {
        RequireGpu();
        var x = torch.ones([1000], device: torch.CUDA);
        var w = torch.full([1000], 2f, device: torch.CUDA).requires_grad_();
        Tensor loss = null!, gradient = null!;
        torch.cuda.synchronize();
        using var _ = new CudaStream(torch.CUDA).Use();
        Work();
        torch.cuda.synchronize();
        using var graph = CudaGraph.Capture(torch.CUDA, Work);
        for (var k = 1; k <= 3; k++)
        {
            x.fill_(k);
            graph.Replay();
            // Of memory of the graph's own, nothing is given to others.
            var others = Enumerable.Range(0, 50).Select(_ => torch.full([1000], -1f, device: torch.CUDA)).ToList();
            loss.ToDouble().ShouldBe(1000.0 * 4 * k * k);
            gradient.ToArray<float>().ShouldAllBe(value => value == 4f * k * k);
            others.ForEach(tensor => tensor.Dispose());
        }
        Should.Throw<InvalidOperationException>(() => CudaGraph.Capture(torch.CUDA, () => throw new InvalidOperationException()));
        graph.Replay();
        torch.cuda.synchronize();

        void Work()
        {
            var product = (x * w).square();
            loss = product.sum();
            Gradients.Backward(loss);
            gradient = w.grad!;
            w.grad = null;
        }
    }

    [Fact]
    public void The_device_and_its_memory_are_described()
    {
        RequireGpu();
        var device = CudaDevice.Get(torch.CUDA);
        TestContext.Current.TestOutputHelper?.WriteLine($"{device.Name} {device.Architecture}, {device.MultiprocessorCount} multiprocessors, " +
            $"{device.L2Bytes >> 20} MB L2, {device.MaxSharedMemoryPerBlock} bytes of shared memory, {device.Memory.Free >> 20} of {device.Memory.Total >> 20} MB free");
        device.MultiprocessorCount.ShouldBeGreaterThan(0);
        torch.zeros([1 << 20], device: torch.CUDA).Dispose();
        CudaMemory.Taken(torch.CUDA).ShouldBeGreaterThanOrEqualTo(4 << 20);
        var kernel = Load("-DOFFSET=0.f");
        kernel.Registers.ShouldBeInRange(1, 255);
        kernel.ActiveBlocks(256).ShouldBeGreaterThan(0);
    }

    private Kernel Load(string option)
    {
        RequireGpu();
        return KernelModule.Load(new KernelSource("scale.cu", Scale, option), torch.CUDA, new KernelCache(_folder))["scale"];
    }

    private static void RequireGpu() => Assert.SkipUnless(torch.cuda.is_available(), "no GPU here");
}
