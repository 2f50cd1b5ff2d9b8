Console.WriteLine("qbb");
