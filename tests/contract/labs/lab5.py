def learn(q, state, action, reward, then, ended, rate, discount):
    target = reward if ended else reward + discount * q[then].max()
    q[state, action] += rate * (target - q[state, action])
