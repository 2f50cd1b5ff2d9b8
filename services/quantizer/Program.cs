using Qbb.Hosting;
using Qbb.Quantizer;

return await ServiceHost.RunAsync(args, "quantizer", "http://127.0.0.1:8082", builder => builder.AddQuantizer());
