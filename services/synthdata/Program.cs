using Qbb.Hosting;
using Qbb.Synthdata;

return await ServiceHost.RunAsync(args, "synthdata", "http://127.0.0.1:8081", builder => builder.AddSynthdata());
