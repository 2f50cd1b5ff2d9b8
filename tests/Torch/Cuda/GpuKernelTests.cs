using Qbb.Torch.Cuda;

namespace Qbb.Torch.Tests.Cuda;

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
            var x = torch.arange(0, n, 1, ScalarType.Float32, Device.CUDA) + 1;
            var y = torch.full([n], double.NaN, ScalarType.Float32, Device.CUDA);
            kernel.Launch((n + 255) / 256, 256, 1024, x, y, n, 2f);
            (y - 1).to_array<float>().ShouldBe(Enumerable.Range(1, n).Select(i => 2f * i - 0.5f));
        }
    }

    [Fact]
    public void More_than_48_kilobytes_of_shared_memory_are_asked_for()
    {
        var kernel = Load("-DOFFSET=0.f");
        var (x, y) = (torch.ones([4], device: Device.CUDA), torch.zeros([4], device: Device.CUDA));
        kernel.Launch(1, 32, 100_000, x, y, 4, 3f);
        y.to_array<float>().ShouldBe([3f, 3f, 3f, 3f]);
        Should.Throw<CudaException>(() => kernel.Launch(1, 32, 10_000_000, x, y, 4, 3f)).Message.ShouldContain("a block has at most");
    }

    [Fact]
    public void Wrong_arguments_are_refused_before_the_launch()
    {
        var kernel = Load("-DOFFSET=0.f");
        var x = torch.ones([4, 4], device: Device.CUDA);
        Should.Throw<ArgumentException>(() => kernel.Launch(1, 32, 0, x, x, 4));
        Should.Throw<ArgumentException>(() => kernel.Launch(1, 32, 0, x, x, 4, 3.0));
        Should.Throw<ArgumentException>(() => kernel.Launch(1, 32, 0, x.t(), x, 4, 3f)).Message.ShouldContain("not contiguous");
    }

    [Fact]
    public void A_source_with_an_error_gives_the_compilers_log()
    {
        RequireGpu();
        var error = Should.Throw<CudaException>(() => KernelModule.Load(new KernelSource("broken.cu", "extern \"C\" __global__ void f() { undeclared = 1; }"), Device.CUDA));
        error.Message.ShouldContain("broken.cu");
        error.Message.ShouldContain("undeclared");
    }

    [Fact]
    public void A_graph_replays_what_was_captured()
    {
        var kernel = Load("-DOFFSET=0.f");
        Should.Throw<CudaException>(() => CudaGraph.Capture(Device.CUDA, () => { }));
        var (x, y) = (torch.ones([64], device: Device.CUDA), torch.zeros([64], device: Device.CUDA));
        torch.cuda.synchronize();
        var stream = new CudaStream(Device.CUDA);
        using (stream.Use())
        {
            torch.cuda.current_stream().ShouldNotBe(0);
            using var graph = CudaGraph.Capture(Device.CUDA, () =>
            {
                kernel.Launch(1, 64, 1024, x, y, 64, 2f);
                kernel.Launch(1, 64, 1024, y, x, 64, 2f);
            });
            x.to_array<float>()[0].ShouldBe(1f);
            for (var k = 0; k < 3; k++)
                graph.Replay();
            x.to_array<float>().ShouldAllBe(v => v == 64f);
            using CudaEvent start = new(Device.CUDA), end = new(Device.CUDA);
            start.Record();
            graph.Replay();
            end.Record().SecondsSince(start).ShouldBeGreaterThan(0);
        }
        torch.cuda.current_stream().ShouldBe(0);
    }

    [Fact]
    public void The_device_and_its_memory_are_described()
    {
        RequireGpu();
        var device = CudaDevice.Get(Device.CUDA);
        TestContext.Current.TestOutputHelper?.WriteLine($"{device.Name} {device.Architecture}, {device.MultiprocessorCount} multiprocessors, " +
            $"{device.L2Bytes >> 20} MB L2, {device.MaxSharedMemoryPerBlock} bytes of shared memory, {device.Memory.Free >> 20} of {device.Memory.Total >> 20} MB free");
        device.MultiprocessorCount.ShouldBeGreaterThan(0);
        CudaMemory.ResetPeak(Device.CUDA);
        torch.zeros([1 << 20], device: Device.CUDA).Dispose();
        CudaMemory.Of(Device.CUDA).Peak.ShouldBeGreaterThanOrEqualTo(4 << 20);
        var kernel = Load("-DOFFSET=0.f");
        kernel.Registers.ShouldBeInRange(1, 255);
        kernel.ActiveBlocks(256).ShouldBeGreaterThan(0);
    }

    private Kernel Load(string option)
    {
        RequireGpu();
        return KernelModule.Load(new KernelSource("scale.cu", Scale, option), Device.CUDA, new KernelCache(_folder))["scale"];
    }

    private static void RequireGpu() => Assert.SkipUnless(torch.cuda.is_available(), "no GPU here");
}
