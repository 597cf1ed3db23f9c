import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.net.ServerSocket;
import java.util.HexFormat;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;

/** Beats as its input says, and then hangs in the way that its argument names. */
public class Agent {
    static final Object first = new Object();
    static final Object second = new Object();

    public static void main(String[] arguments) throws Exception {
        // The output is the socket.
        FileOutputStream agent = new FileOutputStream(FileDescriptor.out);
        String[] lines =
            new BufferedReader(new InputStreamReader(System.in)).lines().toArray(String[]::new);
        for (int at = 0; at < lines.length; at++) {
            if (at > 0) {
                Thread.sleep(Long.parseLong(System.getenv("EVERY_MS")));
            }
            agent.write(HexFormat.of().parseHex(lines[at]));
        }
        switch (arguments[0]) {
            case "monitor" -> waitForMonitor();
            case "deadlock" -> deadlock();
            case "queue" -> new LinkedBlockingQueue<String>().take();
            case "join" -> other(() -> Thread.sleep(1_000_000)).join();
            case "accept" -> new ServerSocket(0).accept();
            case "spin" -> spin();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    interface Work {
        void run() throws Exception;
    }

    static Thread other(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        });
        thread.start();
        return thread;
    }

    static void waitForMonitor() throws Exception {
        CountDownLatch isHeld = new CountDownLatch(1);
        other(() -> {
            synchronized (first) {
                isHeld.countDown();
                Thread.sleep(1_000_000);
            }
        });
        isHeld.await();
        synchronized (first) {
            throw new IllegalStateException("the monitor was free");
        }
    }

    static void deadlock() throws Exception {
        CountDownLatch isHeld = new CountDownLatch(1);
        synchronized (first) {
            other(() -> {
                synchronized (second) {
                    isHeld.countDown();
                    synchronized (first) {
                        throw new IllegalStateException("the monitor was free");
                    }
                }
            });
            isHeld.await();
            synchronized (second) {
                throw new IllegalStateException("the monitor was free");
            }
        }
    }

    static void spin() {
        for (long turns = 0; turns >= 0; turns++) {
            Thread.onSpinWait();
        }
    }
}
