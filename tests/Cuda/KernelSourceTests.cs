namespace Qbb.Cuda.Tests;

public class KernelSourceTests
{
    [Fact]
    public void The_architecture_comes_first_and_own_options_last() =>
        new KernelSource("a.cu", "", "-DN=4").CompilerOptions("sm_90a").ShouldBe(["--gpu-architecture=sm_90a", "--std=c++17", "-DN=4"]);

    [Theory]
    [InlineData(8, 6, "sm_86")]
    [InlineData(9, 0, "sm_90a")]
    [InlineData(12, 0, "sm_120a")]
    public void Newer_devices_are_compiled_for_with_their_own_features(int major, int minor, string expected) =>
        CudaDevice.ArchitectureOf(major, minor).ShouldBe(expected);

    [Fact]
    public void A_resource_that_is_not_there_is_named() =>
        Should.Throw<ArgumentException>(() => KernelSource.Embedded(typeof(torch).Assembly, "none.cu")).Message.ShouldContain("has no resource none.cu");

    [Fact]
    public void Without_a_gpu_the_error_says_what_is_missing_and_what_to_do()
    {
        Assert.SkipWhen(torch.cuda.is_available(), "this machine has a GPU");
        var error = Should.Throw<CudaException>(() => KernelModule.Load(new KernelSource("a.cu", ""), new Device(DeviceType.CUDA, 0)));
        error.Message.ShouldContain("use --device cpu");
        Should.Throw<CudaException>(() => CudaDevice.Get(torch.CPU)).Message.ShouldBe("CUDA: cpu is not a GPU");
    }

    [Fact]
    public void Without_the_compiler_the_error_says_where_it_was_sought()
    {
        Assert.SkipWhen(Nvrtc.IsAvailable(), "this machine has NVRTC");
        var error = Should.Throw<CudaException>(() => Nvrtc.Compile(new KernelSource("a.cu", ""), "sm_90a"));
        error.Message.ShouldContain("libnvrtc.so.13");
        error.Message.ShouldContain("/usr/local/cuda/lib64");
    }
}
